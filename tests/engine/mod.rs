//! The whole host, through its embedding API, with real guests.

mod cancel;
mod grow;
mod hostile;
mod roles;
mod spine;
mod tenants;
