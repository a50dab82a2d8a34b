//! The stand-in as its clients see it: over HTTP.

#[cfg(test)]
mod client;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod held_back;
#[cfg(test)]
mod pacing;
#[cfg(test)]
mod realtime;
#[cfg(test)]
mod shapes;
