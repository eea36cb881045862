"""One SELECT of the user's own against a published database, without anything else being read or written.

It is run by a process of its own (`worker`), which gives up every right to open or write a file once it has the
database open, in a DuckDB whose settings are locked, after a look at what the query is made of (`grammar`). `running`
starts that process, `result` bounds its time and reads its answer. What a database holds is `publishing`'s business.
"""
