"""`make chaos`: faults under full load in the composed system, after which the audit must hold."""
