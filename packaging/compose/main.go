// Command compose reads a Compose file as "docker compose config" does, with Compose's own
// loader, and fails at a key that is not of the Compose Specification, or has another type. It
// prints the services. It is a module of its own, because nothing else needs the loader.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compose:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
	options, err := cli.NewProjectOptions(files)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	for _, name := range project.ServiceNames() {
		fmt.Println(project.Name, name)
	}
	return nil
}
