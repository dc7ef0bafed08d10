package main

import "github.com/spf13/cobra"

// commands lists the constructors of all commands, in the order of the help.
func commands() []func(*app) *cobra.Command {
	return []func(*app) *cobra.Command{
		cmdDemo, cmdInit, cmdStatus, cmdCommit, cmdLog, cmdShow, cmdDiff, cmdCheckout,
		cmdLs, cmdCat, cmdPut, cmdSeal, cmdGet, cmdRm, cmdMirror, cmdImport,
		cmdRepo, cmdBranch, cmdTag, cmdReflog, cmdUndo, cmdRetention,
		cmdPipeline, cmdEnv, cmdJob, cmdDatum, cmdLogs, cmdEvents, cmdDag, cmdWait, cmdRun, cmdPlan, cmdWhy, cmdLineage, cmdCache,
		cmdGC, cmdFsck, cmdPurge, cmdRebuildIndex, cmdHeal, cmdRepair, cmdRecover,
		cmdServe, cmdAuth, cmdVersion,
	}
}
