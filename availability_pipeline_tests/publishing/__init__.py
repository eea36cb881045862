"""The published database: what it holds, that it is audited, and that it is swapped in whole or not at all."""
