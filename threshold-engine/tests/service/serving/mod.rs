//! Tests of REST and of evaluation on request.

mod evaluate;
mod hostile;
mod rest;
