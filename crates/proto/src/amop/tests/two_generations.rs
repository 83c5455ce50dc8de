//! two_generations
