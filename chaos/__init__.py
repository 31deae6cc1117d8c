"""`make chaos`: inject faults into the composed system under full load; afterwards the audit must hold."""
