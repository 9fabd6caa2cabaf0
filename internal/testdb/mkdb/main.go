// Command mkdb writes the database archive of package testdb.
//
//	go run ./internal/testdb/mkdb -out DIR [-built RFC3339]
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/sealyard/sealyard/internal/testdb"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mkdb: ")
	out := flag.String("out", "", "directory to write the archive into")
	built := flag.String("built", "", "build time to record, RFC 3339 (default: now)")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	file, err := run(*out, *built)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(file)
}

func run(out, built string) (string, error) {
	at := time.Now()
	if built != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, built); err != nil {
			return "", err
		}
	}
	facts, err := testdb.Facts()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}
	return testdb.Archive(out, at, facts)
}
