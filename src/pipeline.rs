//! A request's way through the gateway, written once: [`build`] is the whole stack, outermost layer first.
