//! The whole host, through its embedding API, with real guests.

mod cancel;
mod damage;
mod durability;
mod execute;
mod golden;
mod graph_reports;
mod graphs;
mod grow;
mod hostile;
mod lasting_graphs;
mod parking;
mod programs;
mod published;
mod roles;
mod spine;
mod tenants;
