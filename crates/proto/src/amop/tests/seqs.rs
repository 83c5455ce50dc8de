//! seqs
