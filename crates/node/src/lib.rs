//! The chainmesh node: configuration, life cycle, commands and what people see.
