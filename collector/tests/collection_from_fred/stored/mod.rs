//! What is stored of what FRED says.

mod metadata;
mod news;
mod observations;
mod unarchived;
