//! Pages the edge makes itself: errors, demo site
