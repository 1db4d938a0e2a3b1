"""Background tasks: an upload is cut into chunks on disk, Celery workers score them, results stay in order.

The store (store.py) is the truth: files in a folder that the gateway and the workers share, written beside
and renamed. Celery's messages only say which chunk to look at next: a lost or doubled one costs nothing.
"""
