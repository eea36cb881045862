"""`python -m availability_pipeline` is the command `binance-futures-availability`."""

from availability_pipeline.cli.main import main

if __name__ == "__main__":
    main()
