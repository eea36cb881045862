"""What is known before anything is collected: the datasets of the archive, and the columns of tables."""
