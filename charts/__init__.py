"""How the charts of a report are defined, for those who change them; `make charts` compiles them."""
