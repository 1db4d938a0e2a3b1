"""A REST service for people, beside Triton's own protocol.

    python -m gateway                 # 127.0.0.1:8080, asks the Triton server at 127.0.0.1:8001 (gRPC)

It parses, checks and explains. Triton runs the model; `clients` asks it. Open `app.py` first.

`backlog.py` counts online requests, `tasks/backlog.py` background tasks. `problem.py` has the exception and
Retry-After, `problems.py` its answer and the SDK's errors.
"""
