//go:build linux

// Command measure runs our commands and those of peers in turn and records wall time, processor time and peak memory.
//
//	measure -row TITLE [-n RUNS] [-daemon PID] OURS… [::: STEP…] --vs THEIRS… [::: STEP…]   appends a row, as a line of JSON
//	measure -table FILE                                                                     prints the rows as Markdown
//
// Steps run one after the other. "{}" in an argument is replaced by a number that is new for every run. The commands'
// output goes to standard error when one fails.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cost is what a command, or several one after the other, took.
type cost struct {
	Name string  `json:"name,omitempty"`
	Wall float64 `json:"wall"` // seconds
	CPU  float64 `json:"cpu"`  // user and system seconds of the process tree and, when asked for, of the daemon
	Peak float64 `json:"peak"` // MB, of all processes of the tree together
}

// row is one line of the table.
type row struct {
	Title  string `json:"title"`
	Runs   int    `json:"runs"`
	Ours   cost   `json:"ours"`
	Theirs cost   `json:"theirs"`
	Steps  []cost `json:"steps"` // of theirs
}

func main() {
	title := flag.String("row", "", "title of the row")
	runs := flag.Int("n", 3, "runs; the median counts")
	daemon := flag.Int("daemon", 0, "process whose processor time counts as well")
	table := flag.String("table", "", "file with rows to print")
	flag.Parse()
	var err error
	if *table != "" {
		err = printTable(os.Stdout, *table)
	} else {
		err = measure(*title, *runs, *daemon, flag.Args())
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "measure: %v\n", err)
		os.Exit(1)
	}
}

// measure runs both sides in turn, so that what else happens on the machine meets both, and prints the row.
func measure(title string, runs, daemon int, args []string) error {
	vs := slices.Index(args, "--vs")
	if title == "" || runs < 1 || vs < 1 || vs == len(args)-1 {
		return fmt.Errorf("needs -row TITLE OURS… --vs THEIRS…")
	}
	var ours, theirs [][]cost // by run, by step
	for n := range runs {
		for _, side := range []struct {
			args []string
			into *[][]cost
		}{{args[:vs], &ours}, {args[vs+1:], &theirs}} {
			steps, err := sequence(side.args, strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(n), daemon)
			if err != nil {
				return err
			}
			*side.into = append(*side.into, steps)
		}
	}
	r := row{Title: title, Runs: runs, Ours: median(ours), Theirs: median(theirs)}
	for i := range theirs[0] {
		var same [][]cost
		for _, run := range theirs {
			same = append(same, run[i:i+1])
		}
		step := median(same)
		step.Name = theirs[0][i].Name
		r.Steps = append(r.Steps, step)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// sequence runs the steps of one side once.
func sequence(args []string, number string, daemon int) ([]cost, error) {
	var out []cost
	for len(args) > 0 {
		end := slices.Index(args, ":::")
		if end < 0 {
			end = len(args)
		}
		var command []string
		for _, a := range args[:end] {
			command = append(command, strings.ReplaceAll(a, "{}", number))
		}
		args = args[min(end+1, len(args)):]
		c, err := run(command, daemon)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// median adds up the steps of each run, takes the highest of their peaks, and returns the middle of the runs, figure by figure.
func median(runs [][]cost) cost {
	var wall, cpu, peak []float64
	for _, steps := range runs {
		var sum cost
		for _, s := range steps {
			sum.Wall, sum.CPU, sum.Peak = sum.Wall+s.Wall, sum.CPU+s.CPU, max(sum.Peak, s.Peak)
		}
		wall, cpu, peak = append(wall, sum.Wall), append(cpu, sum.CPU), append(peak, sum.Peak)
	}
	return cost{Wall: middle(wall), CPU: middle(cpu), Peak: middle(peak)}
}

func middle(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// label names a step: the program and its subcommand.
func label(command []string) string {
	name := filepath.Base(command[0])
	if len(command) > 1 && !strings.HasPrefix(command[1], "-") && !strings.ContainsAny(command[1], "/:=.") {
		name += " " + command[1]
	}
	return name
}

func printTable(w io.Writer, file string) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "| what | runs | wall: ours | theirs | ratio | CPU: ours | theirs | ratio | peak memory: ours | theirs | ratio |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for dec := json.NewDecoder(f); ; {
		var r row
		if err := dec.Decode(&r); err == io.EOF {
			return b.Flush()
		} else if err != nil {
			return fmt.Errorf("read %q: %w", file, err)
		}
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %.0f MB | %.0f MB | %.2f |\n", r.Title, r.Runs,
			pair(r.Ours.Wall, r.Theirs.Wall), ratio(r.Ours.Wall, r.Theirs.Wall), pair(r.Ours.CPU, r.Theirs.CPU), ratio(r.Ours.CPU, r.Theirs.CPU),
			r.Ours.Peak, r.Theirs.Peak, r.Ours.Peak/r.Theirs.Peak)
		for _, step := range r.Steps {
			if len(r.Steps) > 1 {
				fmt.Fprintf(b, "| · %s | | | %s | | | %s | | | %.0f MB | |\n", step.Name, seconds(step.Wall), seconds(step.CPU), step.Peak)
			}
		}
	}
}

func pair(ours, theirs float64) string { return seconds(ours) + " | " + seconds(theirs) }

func ratio(ours, theirs float64) string {
	if theirs == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ours/theirs)
}

func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
