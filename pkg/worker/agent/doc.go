// Package agent is a worker that takes its tasks from a board of leases
// elsewhere: the part of a worker Pod that holds credentials.
//
// # Agent
//
// [Run] takes leases, lays their inputs out, lets their programs run, stores
// what they wrote, and reports. While one program runs, the next task's inputs
// are fetched and the last one's outputs are stored. It says that it lives every
// [BeatEvery], and stops what it is told has ended.
//
// # Draining
//
// An agent that is to leave takes no more tasks, finishes those that it has, and
// returns. So does one whose context ends, for as long as its patience allows;
// then it kills what runs.
package agent
