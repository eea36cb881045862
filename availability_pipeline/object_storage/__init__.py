"""Generations on object storage: how they get there, how they are removed, how they are read from there.

    <URL>/latest.json                  which generation is read, in the form of the manifest beside a published database
    <URL>/generations/<id>/            the files of a generation, under the names that they have in its folder

`upload` puts them there and `pruning` removes them, `mirror` says when; `remote` says what is believed of a
`latest.json`, and `cache` brings the database to this machine. `s3` and `web` ask servers. What generations are is the
business of `publishing`. Nothing here knows Dagster or SQL, and boto3 is loaded only where a URL is one of S3.
"""
