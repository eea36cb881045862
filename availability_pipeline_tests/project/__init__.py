"""What is shipped and checked beside the package: archives, layers, benchmarks, the audit."""
