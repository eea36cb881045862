"""The asset checks: thin bodies that read the context, call a plain function, and report what it found."""
