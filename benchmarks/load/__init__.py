"""Load: texts and the address of a server come in; answers and their latencies go out.

`texts` says what is sent, `callers` how one request is made. `closed_loop` has clients that wait for their
answers, `open_loop` a fixed rate that waits for nobody (over `raw_http`).
Open `closed_loop.py` first.
"""
