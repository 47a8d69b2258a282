//! lakegate: an HTTP gateway in front of lakeFS.
//!
//! A tower stack between lakeFS's clients and its server. It rewrites authentication, lets clients wait a fair turn instead of meeting
//! "too many requests", refuses forced hard resets on protected branches, keeps a ledger of multipart uploads, and forwards everything
//! else untouched. `ARCHITECTURE.md` tells the way of a request; [`pipeline`] writes it down once.
//!
//! Modules may import only from those listed below them (a test holds this): cli, server, pipeline and admin, the features
//! (audit, auth, limit, guard, record, uploads, upstream: never each other), `lakefs_client` and replicas, observe and store, exchange, config, lakefs.

pub mod admin;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod exchange;
pub mod guard;
pub mod lakefs;
pub mod lakefs_client;
pub mod limit;
pub mod observe;
pub mod pipeline;
pub mod record;
pub mod replicas;
pub mod sandbox;
pub mod server;
pub mod store;
pub mod uploads;
pub mod upstream;
