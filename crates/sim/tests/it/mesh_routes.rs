//! Routes: after the start, after a cut, after its end.

use chainmesh_sim::invariants::Broken;

use super::mesh::*;
use super::*;

#[test]
fn experiment() -> Result<(), Broken> {
    let n: usize = std::env::var("N").unwrap().parse().unwrap();
    let topology = match std::env::var("T").unwrap().as_str() {
        "dense" => Topology::dense(n, 30, 1),
        "circles" => Topology::circles(n, 3, 1),
        "ring" => Topology::ring(n),
        _ => Topology::line(n),
    };
    let mut world = mesh_world(1, CLEAR, &topology);
    let t = std::time::Instant::now();
    let took = converge(&mut world, &topology, seconds(60))?;
    println!("converged {took:?} real {:?} steps {}", t.elapsed(), world.steps());
    assert_no_loop(&world);
    let t = std::time::Instant::now();
    let before = counters(&world);
    let s = world.steps();
    world.run_for(seconds(3))?;
    let after = counters(&world);
    println!("3s quiet: real {:?} steps {}", t.elapsed(), world.steps() - s);
    println!("{:?} {:?}", before[5], after[5]);
    Ok(())
}
