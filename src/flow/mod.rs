//! The straight line: accept, prepare, deliver, settle. The only place that knows the order.
