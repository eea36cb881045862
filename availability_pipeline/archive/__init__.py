"""The source: names of keys, listing, probing, exchangeInfo, contents of files; all HTTP."""
