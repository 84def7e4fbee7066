-- The trace that a task was submitted in, so that what others do for it later is told as part of the same trace.

ALTER TABLE task
    -- W3C traceparent and, after a space, tracestate; NULL when the trace is not sampled.
    ADD COLUMN trace_context text CHECK (length(trace_context) BETWEEN 55 AND 600);
