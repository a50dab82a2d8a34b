//! Who may connect, over what, and from where.

mod certificates;
mod descriptors;
mod exposure;
mod mutual_tls;
mod tls;
