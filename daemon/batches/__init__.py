"""Teachers that are asked by files of requests (`openai-batch`): collected, sent, looked at, fetched, settled.

`workers.py` is a key at work, the sibling of `daemon/sampling/key_workers.py`; `teacher.py` its teacher; `make.py` writes and sends a batch, `fetch.py`
reads its results, `rows.py` settles one row; `out.py` is a batch that is with the provider, `resuming.py` takes up those of an
earlier daemon.
"""
