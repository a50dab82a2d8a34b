//! What goes wrong, and what is stored nevertheless.

mod faults;
mod interruption;
mod unusable;
