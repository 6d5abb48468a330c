"""The exchange log: every exchange, also blocked, failed and abandoned, in Postgres.

`writer` puts records in, `query` reads them, `partitions` makes the daily tables, `tables` is the
whole schema. Why it has this shape: docs/decisions/0004-exchange-log.md.
"""
