//! Pages Seawall makes itself: what visitors see when something fails, and a site to try it with.
//!
//! [`errors`] needs nothing but its arguments: no file, no network, no other site. So an error page works when all else
//! does not (DESIGN R9). [`demo`] is an origin to try an edge with.

pub mod demo;
pub mod errors;
mod text;
