package engine

// MarkCycles sets the Problem of every pipeline that would feed on itself.
func MarkCycles(ps []PipelineHead) {
	at := indexOf(ps)
	for i := range ps {
		if ps[i].Problem == "" && reaches(ps, at, i, i) {
			ps[i].Problem = "the pipeline reads its own output, directly or through others: break the cycle in one of their inputs"
		}
	}
}

func indexOf(ps []PipelineHead) map[ref]int {
	at := map[ref]int{}
	for i, p := range ps {
		at[ref{p.Name, p.Branch}] = i
	}
	return at
}

// ref is a branch of a repo.
type ref struct{ repo, branch string }

// reaches reports whether pipeline from reads, through any others, the output
// of pipeline to.
func reaches(ps []PipelineHead, at map[ref]int, from, to int) bool {
	seen := map[int]bool{}
	next := []int{from}
	for len(next) > 0 {
		i := next[len(next)-1]
		next = next[:len(next)-1]
		for _, in := range ps[i].Inputs {
			up, ok := at[ref{in.Repo, in.Branch}]
			if ok && up == to {
				return true
			}
			if ok && !seen[up] {
				seen[up] = true
				next = append(next, up)
			}
		}
	}
	return false
}

// Related reports whether a pipeline leads to a branch of a repo or depends on
// it, through any number of others. To the empty repo all are.
func (s Snapshot) Related(pipeline, on, repoName, branch string) bool {
	if repoName == "" {
		return true
	}
	for i, related := range relatives(s, ref{repoName, branch}) {
		if p := s.Pipelines[i]; related && p.Name == pipeline && p.Branch == on {
			return true
		}
	}
	return false
}

// relatives returns the pipelines that lead to a branch and those that depend
// on it, that of the branch itself included.
func relatives(s Snapshot, start ref) map[int]bool {
	related := map[int]bool{}
	above, below := map[ref]bool{start: true}, map[ref]bool{start: true}
	for grown := true; grown; {
		grown = false
		for i, p := range s.Pipelines {
			out := ref{p.Name, p.Branch}
			for _, in := range p.Inputs {
				at := ref{in.Repo, in.Branch}
				if above[out] && !above[at] {
					above[at], grown = true, true
				}
				if below[at] && !below[out] {
					below[out], grown = true, true
				}
			}
			related[i] = above[out] || below[out]
		}
	}
	return related
}
