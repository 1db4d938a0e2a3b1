"""One module for each address; `/v1/tasks` is in `gateway/tasks/routes.py`."""
