//! The commands, one file each.

pub(crate) mod access;
pub(crate) mod agents;
pub(crate) mod archive;
pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod conformance;
pub(crate) mod controller;
pub(crate) mod dead;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod intents;
pub(crate) mod local;
pub(crate) mod mesh;
pub(crate) mod payload;
pub(crate) mod repair;
pub(crate) mod rollout;
pub(crate) mod route;
pub(crate) mod send;
pub(crate) mod work;
pub(crate) mod worker;
