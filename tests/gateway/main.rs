//! The gateway as a whole: one test binary, a module a concern.
//!
//! `cfg(test)` on each module tells clippy that helpers there may unwrap, as tests may.

#[cfg(test)]
mod attack;
#[cfg(test)]
mod attack_model;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod client_tls;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod expect;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod house;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod server;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod support;
#[cfg(test)]
mod theirs;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod upstream_http2;
#[cfg(test)]
mod whole;
