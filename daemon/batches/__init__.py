"""Teachers that are asked by batches: requests are collected in files, sent, polled and fetched.

`batch_transport.py` is the teacher's transport, `key_batches.py` one key of it. `create_batch.py` (with `make_batch.py`)
brings batches to the provider, `collect_batch.py` (with `fetch_batch.py`) fetches their results, `batch_rows.py`
stores one row, `outbox.py` holds what a key has out, and `batch_recovery.py` takes up batches of earlier daemons.
"""
