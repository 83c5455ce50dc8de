//! The mempool from outside: what it takes and refuses, who displaces whom, what a head does to
//! it, and that all of it agrees with a model that is too simple to be wrong.

mod attacks;
mod common;
mod heads;
mod journal;
mod model;
mod order;
mod places;
mod refusals;
mod threads;
