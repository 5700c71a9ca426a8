//! Integration tests: one binary, a module per subject.

mod house;
mod licences;
mod source;
