//! What a caller may see and do, and what is recorded of it.

mod audit;
mod tenants;
mod tokens;
