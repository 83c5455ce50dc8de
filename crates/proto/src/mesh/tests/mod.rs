//! Tests of the mesh.
