//! Configuration: command line, environment, `plimsoll.yaml`, defaults, in this order; each value
//! knows its origin. The only reader of the environment.
