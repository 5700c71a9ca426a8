"""Logs through python-logging-loki: `loki.py BASE_URL LINES`. Its first format, the default, and the second."""

import logging
import sys

import logging_loki

base, lines = sys.argv[1], int(sys.argv[2])
url = f"{base}/loki/api/v1/push"

for version in ("0", "1"):
    handler = logging_loki.LokiHandler(url=url, tags={"app": f"python-logging-loki-v{version}"}, version=version)

    # It tells of a failed push by printing it.
    def failed(record):
        raise SystemExit(f"push failed: {sys.exc_info()[1]!r}")

    handler.handleError = failed
    logger = logging.getLogger(f"v{version}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    for i in range(lines):
        logger.warning("line %d", i, extra={"tags": {"part": "even" if i % 2 == 0 else "odd"}})
