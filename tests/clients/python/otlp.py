"""Logs through OpenTelemetry's SDK: `otlp.py BASE_URL GRPC_ADDRESS LINES`. HTTP at both paths, and gRPC."""

import logging
import sys

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

base, grpc, lines = sys.argv[1], sys.argv[2], int(sys.argv[3])

exporters = {
    "otlp-python-http": HttpExporter(endpoint=f"{base}/v1/logs"),
    "otlp-python-gzip": HttpExporter(endpoint=f"{base}/otlp/v1/logs", compression=Compression.Gzip),
    "otlp-python-grpc": GrpcExporter(endpoint=f"http://{grpc}", insecure=True),
}

# An exporter tells of a failed export by logging it.
logging.basicConfig(level=logging.WARNING)

for name, exporter in exporters.items():
    resource = Resource.create({"service.name": name, "k8s.namespace.name": "test", "host.name": "here"})
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("strandline.test", "1.0")
    for i in range(lines):
        logger.emit(
            body=f"line {i}",
            severity_number=SeverityNumber.ERROR,
            severity_text="ERROR",
            attributes={"part": "even" if i % 2 == 0 else "odd", "n": i},
        )
    assert provider.force_flush(20_000), name
    provider.shutdown()
