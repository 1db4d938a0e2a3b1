"""Background tasks: an upload is cut into chunks on disk, Celery workers score them, results stay in order.

What counts are the files of the store (store.py). Gateways and workers share its folder. A file is written
under another name, then renamed. Celery's messages only say which chunk is next: one may be lost, or come
twice.
"""
