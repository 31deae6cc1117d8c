"""Traces: W3C trace context in and out, spans by OpenTelemetry's conventions. Imported only where traces are on."""
