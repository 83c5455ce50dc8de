//! Tests of discovery: one machine whose others say what a test wants, and machines in a network of
//! virtual time.

mod addresses;
mod bed;
mod bonding;
mod bounds;
mod flood;
mod lookups;
mod network;
mod properties;
mod proven;
mod questions;
mod records;
mod table;
mod upkeep;

use super::*;
use bed::*;
